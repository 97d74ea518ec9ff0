"""How fast the mesh is: `python -m benchmarks` measures a real one and prints its figures beside the targets.

Everything runs on this machine, the load too: on two cores it takes its share of what it measures.  The figures of
one run vary by a tenth or so; run nothing else meanwhile.
"""

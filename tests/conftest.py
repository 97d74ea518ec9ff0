"""What holds for every test.

hypothesis does not measure time, which tells more of the machine than of the code.  Ctrl-C reaches what tests start,
also when they themselves were started where it is ignored, as a script's `&` does.
"""

import signal

import hypothesis

hypothesis.settings.register_profile("mesh", deadline=None)
hypothesis.settings.load_profile("mesh")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a child inherits what is ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)

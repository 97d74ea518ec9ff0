"""`python -m gateway.envoy`: become the mesh's Envoy."""

from gateway.edge.envoy import main

if __name__ == "__main__":
    main()

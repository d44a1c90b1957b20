"""What all rooms stand on: no JAX, no torch."""

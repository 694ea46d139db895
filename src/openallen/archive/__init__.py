"""The services themselves, on loopback."""

"""brain-map.org: the RMA language, the client, image services, well-known files."""

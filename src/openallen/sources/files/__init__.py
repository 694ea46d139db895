"""Single images, single well-known files, and any file or store by what it holds."""

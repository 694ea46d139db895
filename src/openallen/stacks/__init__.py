"""One cell's brightfield image stack."""

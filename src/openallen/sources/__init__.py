"""What differs between the systems of the institute: one folder for each source."""

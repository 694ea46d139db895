"""Other packages' own names, so that scripts written for them run with changed imports."""

"""The Allen Brain Cell Atlas: data sets, their tables, and genes of cells."""

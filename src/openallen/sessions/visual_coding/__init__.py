"""Sessions of the Visual Coding data sets (Allen Brain Observatory)."""

"""Sessions of Visual Coding: two-photon experiments and Neuropixels recordings."""

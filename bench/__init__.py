"""Measures Sightglass side by side with what one would use instead, on generated pages over loopback."""

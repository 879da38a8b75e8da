"""Simulators of both APIs on loopback: what `sightglass demo` shows and what the tests talk to."""

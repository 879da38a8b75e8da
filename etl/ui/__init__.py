"""The local page of `sightglass ui`: who may use it, what it answers, and the server."""

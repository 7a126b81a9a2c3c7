"""The main job as its users do it: commands, a worker, a server, and the REST API over a real connection."""

"""Build an image and read one: base images, Dockerfile, ignore rules, the cache model, layers, secrets, lint."""

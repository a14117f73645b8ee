"""Settings: read from the environment through one typed reader, refused when wrong, without logic of their own."""

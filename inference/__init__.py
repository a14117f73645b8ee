"""What is sold: the catalogue of models, their versioned prices, and the upstreams that answer."""

# What is particular to staging: the test chain and the smallest sizes. See production.tfvars.
environment     = "staging"
default_network = "eip155:84532"
database        = { instance_class = "db.t4g.medium", allocated_gib = 20, max_allocated_gib = 100, connections_alarmed = 300 }
redis_node_type = "cache.t4g.small"

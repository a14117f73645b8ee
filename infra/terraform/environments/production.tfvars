# What is particular to production. Accounts, networks and keys are given at the command line or by CI: they have no
# defaults, so that nothing is applied to the wrong place.
environment     = "production"
default_network = "eip155:8453"
task_counts     = { web = 3, web_max = 12, settlement = 2, worker = 2, beat = 2 }
database        = { instance_class = "db.m7g.xlarge", allocated_gib = 200 }
redis_node_type = "cache.m7g.large"

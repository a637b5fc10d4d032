"""What interrupts a job, and what it costs: pods, nodes, registry, namespace, operator."""

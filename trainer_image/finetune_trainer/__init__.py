"""What runs inside the containers: fetch, check, train, publish and serve."""

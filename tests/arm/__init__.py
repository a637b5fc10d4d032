"""As much of Azure as agent pools need, on loopback: ARM and the identity provider."""

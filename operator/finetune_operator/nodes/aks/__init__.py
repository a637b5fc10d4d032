"""Provisioner AKS: agent pools of the cluster, asked for through Azure Resource Manager (ARM).

What there is says where things stand: every pool carries the uid of its job in a tag, and its
provisioningState says how far it is. So no operation of Azure's is waited for, and one that goes
on while no operator runs is found again by the next.
"""

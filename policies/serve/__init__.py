"""Policies over a network: a server that speaks the openpi websocket protocol, and a policy that asks such a server."""

"""Use cases: name a price, complete a paid chat, publish and revoke price versions."""

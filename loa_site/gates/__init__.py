"""Gates 0 to 4: what must work before more of the world is let in, each criterion proved with evidence (plan 12.5).

0 Smoke, 1 Ignition, 2 Warmup, 3 Idle, 4 Launch. A gate holds only when every lower one does. A probe that cannot find
out says that it failed: not knowing is never a pass. What only AWS knows is asked by `infra/gates/gate-check.sh`.
"""

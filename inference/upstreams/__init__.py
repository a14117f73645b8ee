"""Those who answer: each upstream speaks one interface, and all are asked through `base.Upstream`."""

"""The paper's section 2: distribution, network, samples, methods."""

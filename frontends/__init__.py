"""Front ends: what comes in becomes StableHLO or attention IR here, with no knowledge of kernels."""

"""flashlower lowers attention from tensor IR to readable GPU kernels."""

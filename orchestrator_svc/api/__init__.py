"""The gRPC doors: servicers translate and delegate, nothing else."""

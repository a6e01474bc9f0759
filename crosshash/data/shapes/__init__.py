"""How the scenes of ``shapes`` are drawn and told of."""

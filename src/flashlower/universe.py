from xdsl.universe import Universe

UNIVERSE = Universe()

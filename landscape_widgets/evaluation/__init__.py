"""How losses are evaluated at many parameter vectors: strategies behind one request."""

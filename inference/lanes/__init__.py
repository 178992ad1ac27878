"""A compiler for log densities: a traced graph becomes machine code that evaluates many rows at once, one in each lane
of the processor's vector registers.

reader and operations translate PyTorch's graph into nodes; plan sorts nodes into loops; emit, loops, elements and
vector write the loops as LLVM's instructions; kernel compiles and calls them. What has no translation is `Unsupported`
by name, and the density then runs as a graph of PyTorch operations.
"""

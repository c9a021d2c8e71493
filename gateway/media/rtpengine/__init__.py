"""rtpengine as the other media plane: in front of the workers, and in their place where it can be.

Each leg of a call has a worker's leg behind it and a front in rtpengine, which its peer sends to.
While two legs only pass packets on, their fronts send to each other; else to the worker.
"""

def plan(seed): raise NotImplementedError

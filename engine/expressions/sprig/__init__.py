SPRIG: dict[str, object] = {}

"""Floor 0: types, ports, configuration, errors, device, files, events, cards. No torch outside `device`."""

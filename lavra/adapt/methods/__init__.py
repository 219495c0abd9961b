"""The methods of adapting a model, one file each: settings, usual rate, PEFT's configuration, references to its code.

The command line reads these files, so none of them imports torch.
"""

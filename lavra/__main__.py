"""`python -m lavra`: the command line, also under launchers such as torchrun (`torchrun -m lavra pretrain ...`)."""

import sys

from lavra.cli.main import main

sys.exit(main())

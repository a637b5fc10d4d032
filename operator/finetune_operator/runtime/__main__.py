"""`python -m finetune_operator.runtime` runs the operator."""

import sys

from finetune_trainer import authorities
from finetune_trainer.errors import ConfigurationError

try:
    # Before all else: aiohttp takes the certificates that it trusts when it is imported.
    authorities.trust(authorities.FOLDER)
except ConfigurationError as error:
    sys.exit(str(error))

from finetune_operator.runtime.main import main

if __name__ == "__main__":
    main()

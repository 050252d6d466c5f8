"""Commands that print tables. Nothing here asserts a time.

Their threads wait as those of `translate` do, which has to be settled before PyTorch is loaded.
"""

import os

from translate.tuning import wait_briefly

wait_briefly(os.environ)

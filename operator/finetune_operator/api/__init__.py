"""What users write: one model for each kind of finetune.dev/v1beta1, and the CRDs made from them.

The models carry the structure, the defaults and the words of the API. What may be combined is
said once, as a CEL rule at the field it concerns, and enforced by the API server.
"""

GROUP = "finetune.dev"
VERSION = "v1beta1"
API_VERSION = f"{GROUP}/{VERSION}"

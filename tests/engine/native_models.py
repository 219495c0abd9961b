"""Native models made of torch ones: what the native runner's tests compare is one model in two runners."""

from lavra.base.native_library import native_library
from lavra.engine.runners.native_twin import native_twin


def native_model(model, **settings):
    """The native twin of a torch model, quantized or not."""
    return native_twin(native_library(), model, **settings)

"""A kernel that no GPU can hold in its registers."""

import triton
import triton.language as tl


@triton.jit
def too_large(source, target, SIZE: tl.constexpr):
    places = tl.arange(0, SIZE)
    numbers = tl.load(source + places)
    # Every number is needed again after the sum of all.
    tl.store(target + places, numbers - tl.sum(numbers, 0))

"""Filler: words that no task asks about, as frequent as words are."""

from __future__ import annotations

import torch
from torch import Tensor

TRAIN = """
about above across again against air almost along also although among amount another answer any appear area arm around
arrive art aside asleep away band bank base beach became because become been began begin behind being believe belong
below bench beside best better between beyond big body bone both bottle bottom branch bread breakfast bridge brief
bright broad broken build burn bus business busy but buy cabin call calm camp can captain care carry case catch cause
centre certain chair chance change chapter charge cheap chief child choose church circle city clean clear climb close
cloth cloud coast coffee coin cold collar comfort common company copy corner cost country couple course cousin crowd
cup current custom dark daughter dawn debt decide deep depend desk different dinner direction distance double doubt
dozen draw dream drive during dust duty each eager ear early earn earth ease eastern easy edge effect either else empty
engine enough enter equal evening event ever every example except expect express extra eye face fact fair faith famous
farm fast father favour fear feel fellow fence few able act add after age ago aim allow angle ask awake bake bold
border bow boy bean bear cabinet cave chalk
"""
TEST = """
field fifteen fight figure fill final find fine finger finish fire firm fish flat flight floor flow fold follow fond
foot foreign forest forget form former forward found free fresh friend from front full further future gather general
gentle glad glass goal gone good grand grass grave gray great ground group grow guard guess guest guide habit hair half
hand handle hang happen hard harvest hat haste hear heart heat heavy height help her hide high hill himself hint
history hold hole holiday home honest hope hour however huge human hundred hurry husband idea important inch indeed
instead interest iron island itself join journal joy judge just keen knee knew know labour lack lady lake land large
late laugh law lead leaf lean learn least leave length less lesson level library lift like limit line listen little
local long look loose loss loud love low luck lunch main make manner many march market master matter maybe meal meat
member memory mere middle might mile mind minute mix model modern moment mood most mouth much mud music must nail
narrow nation native near neat neck need nest net new news next nice night noise none noon nor nose nothing notice
novel
"""
# The most frequent words come first, and those are short.
FILLER = {split: sorted(words.split(), key=len) for split, words in (("train", TRAIN), ("test", TEST))}


def drawn_filler(generator: torch.Generator, words: Tensor, *shape: int) -> Tensor:
    """Filler of that shape, the word of rank r as often as 1 / r says (Zipf).

    Args:
        generator: source of all that is random.
        words: ids from the most frequent to the rarest.
        shape: of the result, int64.
    """
    device = generator.device
    shares = (1.0 / torch.arange(1, len(words) + 1, device=device)).cumsum(0)
    drawn = torch.rand(shape, generator=generator, device=device) * shares[-1]
    ranks = torch.searchsorted(shares, drawn, right=True).clamp(max=len(words) - 1)
    return words.to(device)[ranks]

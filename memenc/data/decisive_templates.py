"""Sentences that state, or do not state, the outcome of an application; data of `decisive_sentence`.

A template has the fields {subject}, {body} (who decides) and {applicant}, all three in every class, so that
none of them gives the outcome away. In the variant "fixed" the splits share the phrases; in "paraphrase" they
share neither templates nor the words that carry an outcome. Their vocabularies are disjoint in both.
"""

OUTCOMES = ("approved", "rejected", "postponed", "withdrawn")

VERBS = {
    "approved": ("approved", "granted", "accepted", "consented to"),
    "rejected": ("rejected", "refused", "dismissed", "turned down"),
    "postponed": ("postponed", "deferred", "adjourned", "put off"),
    "withdrawn": ("withdrew", "retracted", "revoked", "took back"),
}
PHRASES = {
    outcome: tuple(
        f"{{applicant}} {verb} {{subject}} from {{body}}"
        if outcome == "withdrawn"
        else f"{{body}} {verb} {{subject}} from {{applicant}}"
        for verb in verbs
    )
    for outcome, verbs in VERBS.items()
}

TRAIN_PARAPHRASES = {
    "approved": (
        "{body} approved {subject} brought by {applicant}",
        "{body} gave its consent to {subject}, which came from {applicant}",
        "{body} signed off on {subject} from {applicant}",
        "{subject} was granted in full by {body}, to the delight of {applicant}",
        "{body} voted in favour of {subject} from {applicant}",
        "{body} has authorised {subject}, so {applicant} may begin at once",
        "{applicant} received a favourable ruling from {body} on {subject}",
        "{body} allowed {subject}, and {applicant} is free to proceed",
        "{body} accepted {subject} as {applicant} had presented it",
        "{body} endorsed {subject} and congratulated {applicant}",
        "{subject} of {applicant} passed with a large majority in {body}",
        "{body} said yes to {subject} from {applicant}",
        "{body} ratified {subject}, which {applicant} had prepared",
        "{body} gave {applicant} the go-ahead for {subject}",
        "{subject} won the support of {body}, and {applicant} will now set to work",
        "{body} agreed to {subject} without changing a word, and {applicant} thanked everyone",
        "the answer of {body} to {applicant} about {subject} was positive",
        "{applicant} succeeded before {body} with {subject}",
        "{body} adopted {subject} in the form drafted by {applicant}",
        "formal approval of {subject} was issued to {applicant} by {body}",
        "{body} found nothing wrong with {subject} and told {applicant} to go ahead",
        "{body} recognised the merits of {subject} and awarded {applicant} everything",
        "happily for {applicant}, {body} was convinced and supported {subject}",
        "{body} praised {subject} and wants {applicant} to realise it",
    ),
    "rejected": (
        "{body} rejected {subject} brought by {applicant}",
        "{body} withheld its consent from {subject}, which came from {applicant}",
        "{body} refused {subject} from {applicant}",
        "{subject} was dismissed by {body}, to the dismay of {applicant}",
        "{body} voted against {subject} from {applicant}",
        "{body} has forbidden {subject}, so {applicant} cannot proceed",
        "{applicant} received an unfavourable ruling from {body} on {subject}",
        "{body} disallowed {subject}, and {applicant} is furious",
        "{body} declined {subject} as {applicant} had presented it",
        "{body} condemned {subject} and criticised {applicant}",
        "{subject} of {applicant} failed to win a majority in {body}",
        "{body} said no to {subject} from {applicant}",
        "{body} prohibited {applicant} from starting on {subject}",
        "{subject} found no support in {body}, and {applicant} will never set to work",
        "the answer of {body} to {applicant} about {subject} was negative",
        "{body} found {subject} unacceptable and informed {applicant} of this",
        "{applicant} was unsuccessful before {body} with {subject}",
        "{body} ruled that {subject} of {applicant} was inadmissible",
        "{body} opposed {subject} and sent {applicant} home with nothing",
        "formal refusal of {subject} was issued to {applicant} by {body}",
        "{body} found everything wrong with {subject} and told {applicant} to go away",
        "{body} banned {subject} and warned {applicant} against trying it",
        "sadly for {applicant}, {body} was not convinced and defeated {subject}",
        "{body} quashed {subject}, and {applicant} cannot appeal",
    ),
    "postponed": (
        "{body} postponed its decision on {subject} brought by {applicant}",
        "{body} deferred {subject}, which came from {applicant}",
        "{body} adjourned the hearing of {subject} from {applicant}",
        "{subject} was put off until next month by {body}, to the annoyance of {applicant}",
        "{body} will vote on {subject} from {applicant} at a later date",
        "{body} has delayed {subject}, so {applicant} must wait",
        "{applicant} will receive a ruling from {body} on {subject} in six months at the earliest",
        "{body} needs more time for {subject}, and {applicant} is to return in spring",
        "{body} moved {subject} as {applicant} had presented it to its autumn session",
        "{body} suspended debate on {subject} and asked {applicant} to come back next week",
        "{subject} of {applicant} was held over for the following meeting of {body}",
        "{body} rescheduled {subject}, which {applicant} had prepared, for the coming year",
        "{subject} will occupy {body} again in May, and {applicant} cannot know the result until then",
        "the answer of {body} to {applicant} about {subject} will come next year",
        "{body} extended its own deadline for {subject} and told {applicant} to expect nothing this month",
        "{applicant} will have to appear before {body} again with {subject} at a future session",
        "{body} left {subject} of {applicant} undecided until a further report arrives",
        "{body} reserved judgment on {subject} and will inform {applicant} in a later sitting",
        "formal postponement of {subject} was announced to {applicant} by {body}",
        "{body} did not reach {subject} this week and told {applicant} to try again on the next date",
        "{body} prolonged its examination of {subject} and set {applicant} a later appointment",
        "{body} temporarily stopped work on {subject} and asked {applicant} to wait",
        "{body} has made no decision on {subject} so far and will hear {applicant} again next month",
        "{body} moved {subject} of {applicant} to next year's calendar",
    ),
    "withdrawn": (
        "{applicant} withdrew {subject} brought before {body}",
        "{applicant} took back {subject}, which had gone to {body}",
        "{applicant} retracted {subject} from {body}",
        "{subject} was abandoned by {applicant}, to the surprise of {body}",
        "{applicant} dropped {subject} before {body} had voted",
        "{applicant} has cancelled {subject}, so {body} may close the file",
        "{body} received a letter from {applicant} giving up {subject}",
        "{applicant} revoked {subject}, and {body} is free of the matter",
        "{body} returned {subject} to {applicant}, who had demanded it back",
        "{subject} was discontinued by {applicant} with a note to {body}",
        "{applicant} said to {body} that {subject} would not be pursued",
        "at the wish of {applicant}, {body} removed {subject} from its list",
        "{subject} no longer interests {applicant}, who asked {body} to erase it",
        "{applicant} relinquished {subject} without giving a reason, and {body} made no ruling",
        "the message of {applicant} to {body} about {subject} was a withdrawal",
        "{applicant} decided not to continue with {subject} and informed {body} of this",
        "{body} learned that {applicant} had changed plans and no longer sought {subject}",
        "{applicant} gave up {subject} and left {body} with nothing to decide",
        "formal withdrawal of {subject} was sent by {applicant} to {body}",
        "{applicant} voluntarily ended {subject} and spared {body} a decision",
        "{applicant} reconsidered, resigned from {subject} and informed {body}",
        "{applicant} changed plans and abandoned {subject} before {body} could decide",
        "after a change of mind {applicant} cancelled {subject} with {body}",
        "{applicant} resigned from {subject} for personal reasons and informed {body}",
    ),
}

VALIDATION_PARAPHRASES = {
    "approved": (
        "{body} rubber-stamped {subject} and wished {applicant} luck",
        "{body} okayed {subject} from {applicant}",
        "{body} unanimously backed {subject} put in by {applicant}",
        "{applicant} secured the assent of {body} to {subject}",
        "{body} was persuaded by {applicant} and embraced {subject}",
        "{body} put its seal on {subject} and empowered {applicant} to build",
        "{subject} was warmly applauded by {body}, which empowered {applicant} straight away",
        "{body} pronounced itself satisfied with {subject} and wished {applicant} luck",
    ),
    "rejected": (
        "{body} cut {subject} to pieces and humiliated {applicant}",
        "{body} spurned {subject} as unworthy and scolded {applicant}",
        "{body} nixed {subject} from {applicant}",
        "{body} outvoted {applicant} and crushed {subject}",
        "{body} judged {subject} unworthy and scolded {applicant}",
        "{body} outlawed {subject}, and {applicant} was enraged",
        "{subject} was roundly censured by {body}, which punished {applicant} for it",
        "{body} disapproved of {subject} and disqualified {applicant}",
    ),
    "postponed": (
        "{body} mothballed {subject} from {applicant} for a season and will resume on Thursday",
        "{body} stalled over {subject} put in by {applicant} and will resume on Thursday",
        "{body} put {subject} from {applicant} aside for a fortnight",
        "{body} will reply to {applicant} about {subject} no sooner than October",
        "{body} let {subject} of {applicant} rest and will resume after the summer",
        "{body} let {subject} rest for a fortnight, and {applicant} is kept guessing",
        "{subject} is in the queue of {body}, which will see {applicant} in September",
        "{body} slowed {subject} down, and {applicant} hears more in October",
    ),
    "withdrawn": (
        "{applicant} repented of {subject} and deleted it from the register of {body}",
        "{applicant} opted out of {subject} by an email to {body}",
        "{subject} was disowned by {applicant}, who begged {body} to delete it",
        "{applicant} recalled {subject} from {body} and burnt the documents",
        "{applicant} opted out, and {subject} was deleted from the register of {body}",
        "weary of the affair, {applicant} opted out of {subject} at {body}",
        "{applicant} lost faith in {subject} and recalled it from {body}",
        "disillusioned, {applicant} had {subject} deleted by {body}",
    ),
}

TEST_PARAPHRASES = {
    "approved": (
        "{body} waved {subject} from {applicant} through",
        "{body} nodded through {subject} from {applicant}",
        "{body} showed a green light to {subject}, and {applicant} cheered",
        "{subject} from {applicant} got the thumbs up from {body}",
        "{applicant} can now carry out {subject} with the blessing of {body}",
        "{applicant} cheered as {body} permitted {subject}",
        "every member of {body} raised a hand for {subject} of {applicant}",
        "{body} was glad to permit {subject} of {applicant}",
        "{applicant} got exactly what was hoped for when {body} cleared {subject}",
        "{body} greenlit {subject} of {applicant} with pleasure",
        "{applicant} opened champagne after {body} permitted {subject}",
        "{body} blessed {subject} and made out a licence to {applicant}",
    ),
    "rejected": (
        "{body} vetoed {subject}, and {applicant} must not build",
        "{body} denied {subject} of {applicant}, whose case is hopeless",
        "{body} blocked {subject} for good, to the anger of {applicant}",
        "{body} showed the thumbs down to {subject} of {applicant}, who was angry",
        "{body} threw out {subject} from {applicant} as worthless",
        "{body} barred {applicant} from ever carrying out {subject}",
        "{applicant} wept as {body} killed {subject}",
        "{body} shot down {subject}, calling the idea of {applicant} terrible",
        "{body} turned {subject} down flat and left {applicant} bitterly disappointed",
        "{body} did not permit {subject}, and the fight of {applicant} is hopeless",
        "{body} rebuffed {subject} and objected to everything that {applicant} argued",
        "{body} struck down {subject} of {applicant} as illegal",
    ),
    "postponed": (
        "{body} put {subject} from {applicant} on hold until the winter",
        "{body} pushed {subject} of {applicant} back from March to November",
        "{body} kicked {subject} down the road, and {applicant} has to be patient until Christmas",
        "{body} ran out of hours, so {subject} of {applicant} is on tomorrow's agenda",
        "{body} parked {subject} of {applicant} until the surveyors finish in winter",
        "{body} lacked a quorum and will take {subject} of {applicant} up in December instead",
        "{body} shelved {subject} of {applicant} for now and will reopen it in January",
        "{body} wants to sleep on {subject} for some days, so {applicant} stays in the dark",
        "{applicant} sighed as {body} paused {subject} for the holidays",
        "{subject} from {applicant} got stuck in {body} and is on ice for the moment",
        "in no hurry, {body} keeps {applicant} on tenterhooks over {subject} until the winter",
        "{applicant} has to be patient, since {body} will only look at {subject} in November",
    ),
    "withdrawn": (
        "{applicant} pulled out of {subject} for good and let {body} know",
        "{applicant} backed out of {subject} on the eve of the sitting of {body}",
        "{applicant} had second thoughts, backed out of {subject} and let {body} know",
        "{applicant} got cold feet, quit and scrapped {subject} before {body} met",
        "{applicant} quit and tore {subject} up in the lobby of {body}",
        "{applicant} bowed out, telling {body} that {subject} was not wanted any more",
        "{applicant} walked away from {subject} and let {body} go home early",
        "{applicant} pulled out and tore up {subject} before {body} met",
        "{subject} became too expensive for {applicant}, who quit and let {body} know",
        "{applicant} grew tired of {subject}, quit and let {body} know",
        "{applicant} chose to walk away from {subject} and phoned {body}",
        "{applicant} ditched {subject} and phoned {body} to call it off",
    ),
}

TEMPLATES = {
    "fixed": dict.fromkeys(("train", "validation", "test"), PHRASES),
    "paraphrase": {
        "train": TRAIN_PARAPHRASES,
        "validation": VALIDATION_PARAPHRASES,
        "test": TEST_PARAPHRASES,
    },
}

DISTRACTORS = {
    "train": (
        "{applicant} submitted {subject} to {body}",
        "{body} published the text of {subject} from {applicant}",
        "{subject} of {applicant} runs to forty pages, and {body} holds two copies",
        "{body} received {subject} from {applicant} by post",
        "the members of {body} questioned {applicant} about the cost of {subject}",
    ),
    "validation": (
        "{applicant} dictated {subject} to a clerk of {body}",
        "{body} has registered {subject} of {applicant} under a new number",
        "{subject} of {applicant} was translated for {body}",
    ),
    "test": (
        "{applicant} filed {subject} with {body}",
        "{body} keeps {subject} of {applicant} in a blue folder",
        "a neighbour described {subject} of {applicant} to {body}",
    ),
}

# {body} is "the" and a body, {subject} "the", a kind, "for" and a purpose, {applicant} a name and a surname.
COMMA_SEPARATED_VOCABULARY = {
    "train": {
        "bodies": "board, council, committee, panel, ministry, agency",
        "kinds": "application, proposal, project, plan, motion, tender",
        "purposes": "a harbour crane, a quarry at Aldmoor, the lease of the mill, a tram depot, "
        "the orchard on Fern Hill, a printing press, an indoor market, the ferry to Saltholm, contract 3391, "
        "the repair of the organ, two bus shelters, a herb garden, a pottery in Lime Street, a wind turbine, "
        "a bakery, a riding school, a rowing club, contract 1174, contract 2058, an extra storey",
        "names": "Maria, Jonas, Aisha, Pedro, Helena, Viktor, Noor, Oskar, Lucia, Tomas",
        "surnames": "Lindqvist, Okafor, Brandt, Moreau, Castellano, Haddad, Novak, Sorensen, Ortega, Keller",
    },
    "validation": {
        "bodies": "tribunal, directorate, senate",
        "kinds": "bid, submission, scheme",
        "purposes": "a swimming pool, the tower at Brackley, a dairy, contract 4427, a puppet theatre, "
        "the loan of a barge, a glasshouse, contract 5880",
        "names": "Ingrid, Rafael, Samira, Anton, Beatriz",
        "surnames": "Petrov, Yilmaz, Fontaine, Eriksen, Mbeki",
    },
    "test": {
        "bodies": "commission, assembly, authority, chamber, bureau",
        "kinds": "request, petition, offer, initiative, design",
        "purposes": "a lighthouse museum, a footbridge at Corran, a bicycle workshop, a fish farm, "
        "the sale of the brewery, an observatory, contract 6613, contract 7209, contract 8846, "
        "a cable car, a skating rink, a stable behind the inn, the vineyard in Eastlow, a canal lock",
        "names": "Clara, Dmitri, Fatima, Gustav, Leila, Marco, Priya, Stefan",
        "surnames": "Achterberg, Bianchi, Demir, Horvath, Iyer, Johansen, Nakamura, Wozniak",
    },
}
VOCABULARY = {
    split: {field: words.split(", ") for field, words in fields.items()}
    for split, fields in COMMA_SEPARATED_VOCABULARY.items()
}

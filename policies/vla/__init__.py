"""A small vision-language-action policy: one image, one sentence and the hand's state to a chunk of actions."""

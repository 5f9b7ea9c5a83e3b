"""What to do: scene, randomization, observation, reward, success and instructions."""

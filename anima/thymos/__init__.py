"""What an agent feels: facts become stimuli, stimuli move hormones, hormones decay, and what is left is felt as words."""
